"""What is said of a group's place in the input partitions."""

from stream_app.contracts.standing import Standing, fault_of

FINE = [Standing("clicks", 0, 0, 0, 0), Standing("clicks", 1, 5, 5, 9), Standing("clicks", 2, 9, 3, 9)]


def test_at_the_first_or_after_the_last_record_all_is_well() -> None:
    assert fault_of(FINE) is None


def test_deleted_records_are_counted_and_placed() -> None:
    fault = fault_of([*FINE, Standing("ratings", 3, 5, 1_205, 2_000)])
    assert fault is not None
    assert "ratings[3]: expected offset 5, the first available is 1205, 1,200 gone" in fault
    assert "clicks" not in fault
    assert "accept-loss" in fault


def test_a_log_shorter_than_what_was_read_is_no_loss_to_accept() -> None:
    fault = fault_of([*FINE, Standing("ratings", 3, 5, 0, 4), Standing("ratings", 2, 0, 1, 4)])
    assert fault is not None
    assert "ratings[3]: expected offset 5, the log ends at 4" in fault
    assert "accept-loss" not in fault

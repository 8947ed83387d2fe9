"""Pictures of an evaluation: each function draws one, `write` puts them into a folder.

Needs matplotlib, which comes with the extra `plots`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from model_store.model import InterestModel
from model_store.training.calibration import Calibration
from model_store.training.evaluate import Row
from model_store.training.interactions import Interactions
from model_store.training.metrics import Ranking
from model_store.training.projection import Plane, interactions_of_items, typical_user, vectors_after_each

Float32 = npt.NDArray[np.float32]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c564b")
"""Told apart by the colour-blind (Okabe and Ito 2008), with two more."""
GREY = "#b8b8b8"
_WIDTH_IN = 8.0
_DOTS_PER_INCH = 150
_STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    # The same evaluation gives the same bytes.
    "svg.hashsalt": "interest",
}


def of_evaluation(
    model: InterestModel,
    data: Interactions,
    rows: Sequence[Row],
    topics: Mapping[str, Calibration],
    curve: Sequence[Mapping[str, float]] = (),
) -> dict[str, Figure]:
    """All that there is something to draw for, by file name. `curve`: what training noted of its loss."""
    pictures = {
        "quality-by-length.svg": by_group(
            f"{data.name}: quality by length of the history",
            "interactions before the one asked for",
            rows,
            lambda row: row.by_length,
        ),
        "quality-by-popularity.svg": by_group(
            f"{data.name}: quality by popularity of the item",
            "third of all interactions in training that the item belongs to",
            rows,
            lambda row: row.by_popularity,
        ),
        "items.png": item_map(model, data, typical_user(data)),
    }
    if topics:
        pictures["topics-reliability.svg"] = reliability(topics)
    if curve:
        pictures["learning-curve.svg"] = learning_curve(curve)
    return pictures


def by_group(title: str, label: str, rows: Sequence[Row], groups: Callable[[Row], Mapping[str, Ranking]]) -> Figure:
    """NDCG@10 of each method in each group of users, with 95 % intervals; the first method stands out."""
    with _drawing() as (figure, axes):
        names = list(groups(rows[0]))
        for place, row in enumerate(rows):
            means = [groups(row)[name].of(10).ndcg for name in names]
            value = np.array([mean.value for mean in means])
            spread = np.abs(np.array([[mean.low, mean.high] for mean in means]).T - value)
            shift = 0.06 * (place - (len(rows) - 1) / 2)
            axes.errorbar(
                np.arange(len(names)) + shift, value, spread, label=row.name, color=_colour(place), marker="o",
                markersize=6 if place == 0 else 4, linewidth=2.4 if place == 0 else 1.2, elinewidth=1, capsize=2,
                zorder=3 if place == 0 else 2,
            )  # fmt: skip
        axes.set_xticks(range(len(names)), [f"{name}\n{groups(rows[0])[name].users:,} users" for name in names])
        axes.grid(visible=False, axis="x")
        axes.set(title=title, xlabel=label, ylabel="NDCG@10 (95 % interval)", ylim=(0, None))
        axes.legend()
    return figure


def reliability(found: Mapping[str, Calibration]) -> Figure:
    """Predicted against observed shares of topics: on the line, probabilities can be taken at their word."""
    with _drawing(height_in=6.0) as (figure, axes):
        highest = max(max(point.predicted, point.observed) for of in found.values() for point in of.reliability)
        axes.plot([0, highest], [0, highest], color=GREY, linestyle="--", label="perfect")
        for place, (name, of) in enumerate(found.items()):
            axes.plot(
                [point.predicted for point in of.reliability], [point.observed for point in of.reliability],
                label=f"{name}: Brier {of.brier:.4f}, calibration error {of.error:.4f}", color=_colour(place),
                marker="o", markersize=6 if place == 0 else 4, linewidth=1.6 if place == 0 else 1,
            )  # fmt: skip
        users = next(iter(found.values())).users
        axes.set(
            title=f"Can the probabilities of topics be believed? ({users:,} users, bins of equal mass)",
            xlabel="predicted probability, mean of the bin",
            ylabel="observed share of the next item's topics",
        )
        axes.legend(loc="upper left")
    return figure


def item_map(model: InterestModel, data: Interactions, user: int) -> Figure:
    """The model's items, coloured by main topic and as large as they are popular, and one user's (index) way."""
    times, topic = interactions_of_items(model, data), model.index.topic
    plane, size = Plane.of(model.index.vectors, np.maximum(times, 1)), 4 + 40 * times / max(1.0, float(times.max()))
    items, path = plane.of_vectors(model.index.vectors), plane.of_vectors(vectors_after_each(model, data, user))
    common = np.argsort(-np.bincount(topic[topic >= 0], minlength=len(model.topics)), kind="stable")[: len(COLOURS)]
    with _drawing(height_in=6.0) as (figure, axes):
        rest = ~np.isin(topic, common)
        _dots(axes, items[rest], s=size[rest], color=GREY, alpha=0.5, linewidths=0, label="other")
        for place, which in enumerate(common):
            of = topic == which
            _dots(axes, items[of], s=size[of], color=_colour(place), alpha=0.7, linewidths=0,
                         label=model.topics[which])  # fmt: skip
        axes.plot(*path.T, color="black", linewidth=0.9, alpha=0.8, label=f"the user, after each of {len(path)} events")
        _dots(axes, path, c=np.arange(len(path)), cmap="Greys", s=22, edgecolors="black", linewidths=0.6, zorder=3)
        for name, point in (("first", path[0]), ("last", path[-1])):
            axes.annotate(name, point, xytext=(7, 7), textcoords="offset points", fontweight="bold", zorder=4)
        first, second = plane.explained
        axes.set(
            title=f"{data.name}: items by the direction of their vectors, and one user's way among them",
            xlabel=f"first principal component, items weighted by interactions ({first:.0%} of the variance)",
            ylabel=f"second ({second:.0%})",
        )
        figure.legend(loc="outside lower center", ncols=4, markerscale=2, fontsize=9)
    return figure


def learning_curve(curve: Sequence[Mapping[str, float]]) -> Figure:
    """Loss by epoch, as training noted it: `epoch`, `loss`."""
    with _drawing() as (figure, axes):
        axes.plot([at["epoch"] for at in curve], [at["loss"] for at in curve], color=COLOURS[0], marker="o")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(title="Training loss", xlabel="epoch", ylabel="cross-entropy of the next item (nats)")
    return figure


def freshness(name: str, curve: Mapping[str, Mapping[str, float]], rivals: Mapping[str, float]) -> Figure:
    """HR@10 by the age of each part of a score: `curve`, part -> age -> HR@10, ages from the freshest on.

    `name`: of the data set. `rivals`: HR@10 of those that only count, as lines across.
    """
    with _drawing() as (figure, axes):
        ages = list(next(iter(curve.values())))
        for place, (part, of) in enumerate(curve.items()):
            whole = part == "all"
            axes.plot(
                range(len(ages)), list(of.values()), label=part, color="black" if whole else _colour(place), marker="o",
                linewidth=2.4 if whole else 1.4, zorder=3 if whole else 2,
            )  # fmt: skip
        for rival, hit_rate in rivals.items():
            axes.axhline(hit_rate, color=GREY, linestyle="--", linewidth=1)
            axes.annotate(rival, (0, hit_rate), xytext=(0, 3), textcoords="offset points", color="#707070", fontsize=9)
        axes.set_xticks(range(len(ages)), ages)
        axes.grid(visible=False, axis="x")
        axes.set(
            title=f"{name}: what freshness is worth (one pass, evaluate, then learn)",
            xlabel="age of what the score is made of, the rest being fresh",
            ylabel="HR@10",
            ylim=(0, None),
        )
        axes.legend(title="what is so old")
    return figure


def write(folder: Path, pictures: Mapping[str, Figure]) -> list[Path]:
    """Save each under its name, whose end says the format (.svg or .png); returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in pictures.items():
        paths.append(folder / name)
        with mpl.rc_context(_STYLE):
            undated: dict[str, Any] = {"Date": None} if name.endswith(".svg") else {}
            figure.savefig(paths[-1], dpi=_DOTS_PER_INCH, metadata=undated)
    return paths


@contextmanager
def _drawing(height_in: float = 4.5) -> Iterator[tuple[Figure, Axes]]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        yield figure, figure.add_subplot()


def _dots(axes: Axes, points: Float32, **style: Any) -> None:
    axes.scatter(points[:, 0], points[:, 1], **style)


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]

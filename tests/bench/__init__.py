"""Benchmarks on a real Kafka and a real Redis. Every figure that this project claims comes from one of them.

Each starts its own servers, out of wheels, and ends them; `--kafka HOST:PORT` and `--redis URL` (an empty database)
use yours. `--json FILE` writes the figures. `interest bench NAME ...` is `python -m tests.bench.NAME ...`.

| command | what it measures |
| --- | --- |
| `interest bench throughput` | one worker on 400,000 preloaded events of 20,000 uniform users: events/s, CPU, stages |
| `interest bench throughput --zipf 1.2 --partitions 8` | the same with a few users who do most of it |
| `interest bench latency` | published to readable by another client, at 500, 2,000 and 5,000 events/s: p50, p95, p99 |
| `interest bench latency --rate 2000 --seconds 60` | one rate, for longer |
| `interest bench soak` | an hour at 2,000 events/s: latency, memory, files, threads of each minute |
| `interest bench parity` | MovieLens 100K through Kafka against the file applied in memory: states and offline metric |
| `interest bench restore --users 1000000` | recovery of all states from the changelog: users/s, seconds, peak memory |
| `interest bench ranking --data FOLDER` | trained and evaluated from scratch for each seed, beside its rivals |
| `interest bench peers` | the same job on stock Faust, Quix Streams and Bytewax, and the floor: a bare aiokafka loop |
| `interest bench load` | the load generator itself, so that no figure above is its speed in disguise |

Worker, broker, Redis and load share the machine's cores, so nothing else should run meanwhile. `throughput` and `peers`
compare Redis with the same events applied in memory after each run, and fail where it differs.
"""

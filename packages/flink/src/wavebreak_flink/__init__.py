"""The decisions of Wavebreak on Apache Flink: the same shards, rules and model, divided.

One ordered fan-out reads the log and sends each group of shards its account events; groups close
epochs together by an exchange of rows. Only `operators` and `job` import Flink, in the environment
that `make scale` sets up; the rest runs, and is tested, without.
"""

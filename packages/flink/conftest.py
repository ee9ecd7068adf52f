"""What needs Flink is imported by no test of this environment, nor looked through for examples."""

collect_ignore = ["src/wavebreak_flink/job.py", "src/wavebreak_flink/operators.py"]

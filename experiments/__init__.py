"""Experiments beside the product: public benchmarks, weekly retraining, the claims corpus."""

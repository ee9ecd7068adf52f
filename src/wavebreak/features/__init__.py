"""What is known of each account: facts, features, and the state behind them."""

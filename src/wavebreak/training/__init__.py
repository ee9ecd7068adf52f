"""From labelled runs to a model directory with its card."""

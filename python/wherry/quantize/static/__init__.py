"""8-bit activations with scales that samples of the inputs have decided: `--quantize int8-static`."""

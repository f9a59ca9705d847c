"""The C++ runtime seen from Python, and TensorFlow as its reference."""

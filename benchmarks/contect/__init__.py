"""The paper's network, Contect, converted and run by LiteRT, TensorFlow and Wherry."""

"""The inner loops of matrix products on ARM cores, by llvm-mca: no ARM hardware is needed."""

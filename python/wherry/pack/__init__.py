"""The .wherry file: writing it from a program, and reading its metadata back."""

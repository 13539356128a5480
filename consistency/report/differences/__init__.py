"""Two reports compared: their folders in, differences with their uncertainty out."""

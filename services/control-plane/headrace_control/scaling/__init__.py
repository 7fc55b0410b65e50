"""How much there is to do and who does it: the figures that the fleet is scaled by."""

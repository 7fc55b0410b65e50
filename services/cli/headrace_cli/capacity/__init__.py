"""What a load costs and needs, by what was measured: coefficients, the arithmetic on them, and a simulation of both."""

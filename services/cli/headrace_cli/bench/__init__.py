"""`headrace bench`: what Headrace does in a second and what a run costs, measured from outside and counted twice."""

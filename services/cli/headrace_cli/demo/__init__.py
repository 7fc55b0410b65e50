"""`headrace demo`: a deployment of its own, a storefront, twenty-five runs, and the proof that they happened."""

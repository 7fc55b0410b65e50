"""`headrace apply`: what files declare, compared with what the tenant has, and made so."""

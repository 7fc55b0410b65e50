"""`headrace templates`: workflows to start from, as documents that come with the command."""

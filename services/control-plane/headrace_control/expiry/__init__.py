"""What has been kept long enough: keys of starts, tokens of approvals."""

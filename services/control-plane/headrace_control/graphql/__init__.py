"""The GraphQL API's own part: the schema that joins the slices, errors, limits, pages, transport."""

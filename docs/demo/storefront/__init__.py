"""The demo's storefront: six small HTTP APIs in one process, each behind another kind of credential."""

"""Who may come in and what they may ask: login, visitors, middleware, serving policy."""

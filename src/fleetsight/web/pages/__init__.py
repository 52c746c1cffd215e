"""Pages for shoppers and operators: typed contexts, views that fill them, templates that show them."""

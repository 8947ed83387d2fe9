"""The commands of `interest`, one module a group. They are light to import: what is heavy is imported when it runs."""

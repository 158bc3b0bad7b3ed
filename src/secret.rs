//! Secrets in configuration are references (`env:NAME`, `file:/path`); a literal is an error.

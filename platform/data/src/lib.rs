//! A database of one's own on SQLite or PostgreSQL

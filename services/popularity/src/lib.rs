//! Likes, views, rankings, recommendations

//! The pages' sources, and the built pages embedded.

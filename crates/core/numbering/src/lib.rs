//! Telephone numbers to country, area, city and candidate time zones; choice of a local caller ID.

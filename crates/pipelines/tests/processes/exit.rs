//! How the program ends: the exit statuses that its help lists.

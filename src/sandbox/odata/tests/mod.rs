//! Every rule of the query options.

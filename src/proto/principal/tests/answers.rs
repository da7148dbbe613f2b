//! Responses: tokens, failures, and what is not a token.

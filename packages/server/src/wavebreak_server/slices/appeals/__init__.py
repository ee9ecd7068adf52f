"""Appeals: from a holder's statement to the answer of a person who took no part."""

"""One file for each claim: run(short, say) gives a list of Claim."""

"""Whether what a producer sends are events, what is wrong with those that are none, and how to mend it.

lines of a file, or records of a topic ──► arrivals ──► the decoder of workers and catalogue ──► findings ──► tally
                                                         (verdicts)  hints (what is taken, but odd)
"""

"""Random and mutated inputs into everything that reads bytes from outside, compared with naive truths.

    make fuzz ARGS="--seconds 600 --seed 1 --target decode"

A *target* makes cases (plain values) from dice and checks them. Cases are a function of target, seed and batch number
alone, so whatever goes wrong can be made again. Targets run in a child process: a crash or a hang is a finding too.
"""

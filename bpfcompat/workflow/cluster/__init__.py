"""Jobs on other machines: dask plans and moves them, workers are `dask worker` processes on machines that have bpfcompat.

`coordinator` is the side that starts a run, `worker` what runs on the others, `order` what they say to each other, and
`parcels` how files get there. Nothing here is imported unless a cluster is asked for.
"""

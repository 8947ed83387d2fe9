"""The whole system on one screen: servers, model, worker, a replay of real data, and a live view of what comes out."""

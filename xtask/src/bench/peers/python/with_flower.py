"""Federated rounds in Flower's simulation: each client loads its data and trains, one CPU each."""

import json
import sys
import time

import flwr as fl
import numpy as np

work = json.loads(sys.argv[1])
trained = 0


class Client(fl.client.NumPyClient):
    def __init__(self):
        # A client is made anew for each round: its data is read again.
        time.sleep(work["load"])

    def fit(self, parameters, config):
        time.sleep(work["train"])
        return parameters, 1, {}


class Averaging(fl.server.strategy.FedAvg):
    def aggregate_fit(self, server_round, results, failures):
        global trained
        trained += len(results)
        time.sleep(work["train"])
        return super().aggregate_fit(server_round, results, failures)


if __name__ == "__main__":
    clients = work["tasks"]
    strategy = Averaging(
        fraction_fit=1.0,
        fraction_evaluate=0.0,
        min_fit_clients=clients,
        min_available_clients=clients,
        initial_parameters=fl.common.ndarrays_to_parameters([np.zeros(1)]),
    )
    fl.simulation.start_simulation(
        client_fn=lambda context: Client().to_client(),
        num_clients=clients,
        config=fl.server.ServerConfig(num_rounds=work["rounds"]),
        client_resources={"num_cpus": 1, "num_gpus": 0.0},
        ray_init_args={"num_cpus": work["at_once"], "include_dashboard": False},
        strategy=strategy,
    )
    print("done", trained)

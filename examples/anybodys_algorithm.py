"""The simulated robot is a Gymnasium environment: anybody's algorithm can learn on it, here Stable-Baselines3's.

python examples/anybodys_algorithm.py [STEPS]

Needs: pip install stable-baselines3. A few hundred steps only show that it runs; from nothing but a sparse reward
no algorithm finds a grasp in that time.
"""

from __future__ import annotations

import sys

import gymnasium
from stable_baselines3 import SAC
from stable_baselines3.common.evaluation import evaluate_policy

import dexloop  # noqa: F401 (registers the environments)


def main(steps: int) -> None:
    env = gymnasium.make("dexloop/CupTaking-v0", observation="privileged", max_seconds=5.0)
    model = SAC("MultiInputPolicy", env, learning_starts=min(100, steps // 2), buffer_size=10_000, seed=0)
    model.learn(steps)
    mean, deviation = evaluate_policy(model, model.get_env(), n_eval_episodes=2)
    print(f"{model.num_timesteps} steps, return {mean:.2f} +- {deviation:.2f}")
    env.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)

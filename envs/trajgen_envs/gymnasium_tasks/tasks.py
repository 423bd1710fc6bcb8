"""What gymnasium's own environments are about, in words: goals, and the names of actions and observed numbers.

Plain tables keyed by class name, taken from gymnasium's documentation; nothing here runs a simulator.
"""

from __future__ import annotations

from typing import NamedTuple


class Task(NamedTuple):
    """One environment class. Names are in the order of the space; empty where the model or the state tells more."""

    goal: str
    actions: tuple[str, ...] = ()
    observes: tuple[str, ...] = ()


TASKS: dict[str, Task] = {
    # ---- classic control
    "CartPoleEnv": Task(
        "A pole stands on a cart that runs on a frictionless track. Push the cart left or right at every step so that "
        "the pole stays upright: the episode ends when the pole leans more than 0.2095 rad (12 degrees) to either side "
        "or the cart is more than 2.4 m from the centre. Every step earns 1.",
        ("push_left", "push_right"),
        ("cart position (m)", "cart velocity (m/s)", "pole angle (rad)", "pole angular velocity (rad/s)"),
    ),
    "MountainCarEnv": Task(
        "A car sits in a valley between two hills; its engine is too weak to climb the right one directly. Swing back "
        "and forth to gain speed and reach the flag at position 0.5 on the right. Every step costs 1.",
        ("push_left", "coast", "push_right"),
        ("car position", "car velocity"),
    ),
    "Continuous_MountainCarEnv": Task(
        "A car sits in a valley between two hills; its engine is too weak to climb the right one directly. Swing back "
        "and forth to gain speed and reach the flag at position 0.45 on the right, which earns 100. Every step costs "
        "0.1 times the squared force.",
        ("force",),
        ("car position", "car velocity"),
    ),
    "AcrobotEnv": Task(
        "Two links hang from a fixed joint; only the joint between them is driven. Swing the free end up until it is "
        "one link's length above the fixed joint. Every step before that costs 1.",
        ("torque_minus_1", "no_torque", "torque_plus_1"),
        (
            "cosine of joint 1",
            "sine of joint 1",
            "cosine of joint 2",
            "sine of joint 2",
            "angular velocity of joint 1 (rad/s)",
            "angular velocity of joint 2 (rad/s)",
        ),
    ),
    "PendulumEnv": Task(
        "A pendulum swings around a fixed pivot, driven by a torque too weak to lift it at once. Swing it up and keep it "
        "upright with little effort: every step costs angle^2 + 0.1 angular_velocity^2 + 0.001 torque^2, where the "
        "angle is 0 when it stands upright.",
        ("torque",),
        ("height of the free end (cosine of the angle)", "side of the free end (sine)", "angular velocity (rad/s)"),
    ),
    # ---- toy text; what is seen is told by the adapter
    "FrozenLakeEnv": Task(
        "Cross a frozen lake from the start S to the goal G over frozen tiles F without falling into a hole H. Reaching "
        "G earns 1; a hole ends the episode with nothing.",
        ("left", "down", "right", "up"),
    ),
    "CliffWalkingEnv": Task(
        "Walk on a grid of 4 rows and 12 columns from row 3, column 0 to row 3, column 11. The tiles between them in "
        "row 3, columns 1 to 10, are a cliff: stepping onto it costs 100 and puts you back at the start. Every other "
        "step costs 1.",
        ("up", "right", "down", "left"),
    ),
    "TaxiEnv": Task(
        "Drive a taxi on a grid of 5 rows and 5 columns: go to the passenger, pick the passenger up, go to the "
        "destination and drop the passenger off there, which earns 20. Every other step costs 1; picking up or dropping "
        "off in the wrong place costs 10.",
        ("south", "north", "east", "west", "pick_up", "drop_off"),
    ),
    "BlackjackEnv": Task(
        "Play one hand of blackjack: draw cards to come closer to 21 than the dealer without going over. Face cards "
        "count 10; an ace counts 1, or 11 where that does not go over 21 (a usable ace). Sticking lets the dealer draw "
        "to 17 and ends the hand. A win earns 1, a loss -1, a draw 0.",
        ("stick", "hit"),
    ),
    # ---- MuJoCo; actions are named after the model's actuators or joints, most observations after its joints
    "InvertedPendulumEnv": Task(
        "A pole stands on a cart that slides on a rail. Push the cart so that the pole stays upright: the episode ends "
        "when it leans more than 0.2 rad. Every step earns 1."
    ),
    "InvertedDoublePendulumEnv": Task(
        "Two poles, one on top of the other, stand on a cart that slides on a rail. Push the cart so that they stay "
        "upright: the episode ends when the tip falls to height 1. Every step earns 10, less for a tip away from "
        "the top and for fast poles.",
        observes=(
            "cart position (m)",
            "sine of the lower pole's angle",
            "sine of the upper pole's angle",
            "cosine of the lower pole's angle",
            "cosine of the upper pole's angle",
            "cart velocity (m/s)",
            "lower pole's angular velocity (rad/s)",
            "upper pole's angular velocity (rad/s)",
            "constraint force on the cart (N)",
        ),
    ),
    "ReacherEnv": Task(
        "A robot arm of two joints moves in a plane. Bring its fingertip to the target and keep it there with little "
        "torque: every step costs the distance to the target and a little for the squared torques.",
        observes=(
            "cosine of joint 0",
            "cosine of joint 1",
            "sine of joint 0",
            "sine of joint 1",
            "target x (m)",
            "target y (m)",
            "angular velocity of joint 0 (rad/s)",
            "angular velocity of joint 1 (rad/s)",
            "fingertip minus target in x (m)",
            "fingertip minus target in y (m)",
        ),
    ),
    "PusherEnv": Task(
        "A robot arm of seven joints stands at a table. Push the cylinder to the goal with the arm's tip: every step "
        "costs the cylinder's distance to the goal, and a little for the tip's distance to the cylinder and for the "
        "squared torques.",
        observes=(
            *(f"angle of joint {i} (rad)" for i in range(7)),
            *(f"angular velocity of joint {i} (rad/s)" for i in range(7)),
            *(f"{thing} {axis} (m)" for thing in ("tip", "cylinder", "goal") for axis in "xyz"),
        ),
    ),
    "SwimmerEnv": Task(
        "A swimmer of three links lies in a viscous fluid. Swim to the right (along x) as fast as possible by turning "
        "its two joints."
    ),
    "HopperEnv": Task(
        "A one-legged figure stands in a plane. Hop to the right (along x) as fast as possible without falling; the "
        "episode ends when it falls."
    ),
    "HalfCheetahEnv": Task(
        "A two-legged cheetah runs in a plane. Run to the right (along x) as fast as possible by driving the joints of "
        "its back and front leg."
    ),
    "Walker2dEnv": Task(
        "A two-legged figure stands in a plane. Walk to the right (along x) as fast as possible without falling; the "
        "episode ends when it falls."
    ),
    "AntEnv": Task(
        "A four-legged ant stands on the ground. Walk along x as fast as possible without tipping or jumping; the "
        "episode ends when its body leaves the heights from 0.2 to 1."
    ),
    "HumanoidEnv": Task(
        "A humanoid stands on the ground. Walk along x as fast as possible without falling; the episode ends when its "
        "body leaves the heights from 1 to 2."
    ),
    "HumanoidStandupEnv": Task("A humanoid lies on the ground. Stand up, and stay up: height earns reward."),
}

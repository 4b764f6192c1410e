"""`openenv eval`: a model behind an endpoint, or a policy, plays episodes; the report says how well it does.

The exit status tells programs what people read: 0 if every episode came to something, 1 if some broke or the run
ended early, 2 if nothing was found out.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openenv import settings
from openenv.cli.arguments import keyed
from openenv.cli.target import Target, locate, package_name
from openenv.errors import OpenEnvError

if TYPE_CHECKING:
    from types import ModuleType

    from openenv.evals import EpisodeResult, Player, Report
    from openenv.llm import ChatEndpoint
    from openenv.rollouts import Episodes

EPISODES = 10


class NothingFound(click.ClickException):
    """Nothing was found out."""

    exit_code = 2


@dataclass(frozen=True)
class Options:
    """What was asked for; the names are those of the command's options."""

    model: str | None
    model_name: str | None
    api_key_env: str | None
    policy: str | None
    episodes: int
    seeds: tuple[int, ...]
    concurrency: int
    max_turns: int
    tools: str
    prompt: str | None
    timeout: float
    step_timeout: float
    sampling: dict[str, Any]
    reset: dict[str, Any]
    transcripts: str | None


@click.command(name="eval")
@click.argument("envs", nargs=-1, required=True, metavar="ENV...")
@click.option("--model", metavar="URL", help="An OpenAI-compatible endpoint, such as http://localhost:8000/v1.")
@click.option("--model-name", metavar="NAME", help="Its model; by default the only one that it lists.")
@click.option("--api-key-env", metavar="NAME", help="Environment variable that holds the endpoint's API key.")
@click.option(
    "--policy",
    metavar="NAME",
    help="Instead of a model: random, or a policy that comes with the environment, such as oracle or null.",
)
@click.option(
    "--episodes", type=click.IntRange(1), help=f"Episodes in all.  [default: one of each seed, or {EPISODES}]"
)
@click.option("--seeds", metavar="LIST", help="Seeds to take in turn, such as 0-9 or 1,5,7.  [default: 0 and on]")
@click.option("--concurrency", type=click.IntRange(1), default=16, show_default=True, help="Episodes at a time.")
@click.option(
    "--max-turns", type=click.IntRange(1), default=32, show_default=True, help="Replies that an episode may take."
)
@click.option("--k", "ks", type=click.IntRange(1), multiple=True, help="Estimate pass@k; several may be given.")
@click.option(
    "--success-at", type=float, default=1.0, show_default=True, help="An episode of at least this reward succeeds."
)
@click.option("--reset", "resets", multiple=True, metavar="KEY=VALUE", help="An argument of every reset.")
@click.option(
    "--tools",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Act by calls of tools, or by words.",
)
@click.option("--prompt", metavar="TEXT", help="What the model is told first, in place of what is told by default.")
@click.option("--temperature", type=float, help="Of the model's sampling.")
@click.option("--max-tokens", type=click.IntRange(1), help="Longest reply.")
@click.option("--sampling", multiple=True, metavar="KEY=VALUE", help="A further member of each request.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds a reply may take.",
)
@click.option(
    "--step-timeout",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds the environment may take for a reset or step.",
)
@click.option(
    "--transcripts", metavar="FILE", type=click.Path(dir_okay=False), help="Write what was said, as JSONL."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def evaluate(envs: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Let a model or a policy play episodes, and report how well it does.

    ENV is an environment's folder, the name of an installed package, module:app, or the address of a server.

    \b
      openenv eval blackjack_env --model http://localhost:8000 --episodes 64 --k 1 --k 4
      openenv eval grid_world_env --policy oracle --seeds 0-99

    What breaks is counted apart: it has no reward, and not 0. The exit status is 0 if every episode came to
    something, 1 if some broke or the run ended early, and 2 if nothing was found out.
    """
    from openenv.cli.eval_report import shown
    from openenv.evals import Report

    ks = tuple(sorted(set(given.pop("ks")))) or (1,)
    report = Report(given.pop("success_at"), ks)
    options = _options(given, ks)
    began, interrupted = time.monotonic(), False
    raised: Exception | None = None
    try:
        asyncio.run(_run(envs, options, report))
    except KeyboardInterrupt:
        interrupted = True
    except OpenEnvError as error:
        raised = (click.ClickException if report.episodes else NothingFound)(str(error))
    except Exception as error:  # whatever it is, what was played until then is told
        raised = error
    report.about["seconds"] = round(time.monotonic() - began, 3)
    if report.episodes:
        click.echo(json.dumps(report.as_data(), indent=2) if as_json else shown(report))
    if raised is not None:
        raise raised
    if not report.episodes:
        raise NothingFound("Nothing was played.")
    if interrupted:
        raise SystemExit(130)
    raise SystemExit((2 if not report.counted else 1) if report.faults else 0)


def _options(given: dict[str, Any], ks: tuple[int, ...]) -> Options:
    if (given["model"] is None) == (given["policy"] is None):
        raise click.UsageError("Say who is to play: --model URL, or --policy NAME.")
    text, episodes = given.pop("seeds"), given.pop("episodes")
    seeds = _seeds(text) if text else None
    episodes = episodes or len(seeds or range(EPISODES)) * max(ks)
    seeds = seeds or tuple(range(-(-episodes // max(ks))))
    sampling = {name: given.pop(name) for name in ("temperature", "max_tokens")}
    sampling = {name: value for name, value in sampling.items() if value is not None}
    sampling |= keyed(given.pop("sampling"), "--sampling")
    reset = keyed(given.pop("resets"), "--reset")
    return Options(**given, episodes=episodes, seeds=seeds, sampling=sampling, reset=reset)


def _seeds(text: str) -> tuple[int, ...]:
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None:
            raise click.BadParameter(f"{text!r} is no list of seeds, as in 0-9 or 1,5,7.", param_hint="--seeds")
        first, last = int(match[1]), int(match[2] or match[1])
        found += range(first, last + 1)
    if not found:
        raise click.BadParameter(f"{text!r} has no seed in it.", param_hint="--seeds")
    return tuple(dict.fromkeys(found))


# --- the run -------------------------------------------------------------------------------------


async def _run(envs: Iterable[str], options: Options, report: Report) -> None:
    async with AsyncExitStack() as stack:
        model = await _model(stack, options)
        report.about |= {
            "model": model.model if model else None,
            "endpoint": model.address if model else None,
            "policy": options.policy,
            "max_turns": options.max_turns,
            "reset": options.reset,
            "sampling": options.sampling,
        }
        try:
            for env in envs:
                await _evaluate(env, options, report, model)
        finally:
            if model is not None:
                report.about["endpoint_troubles"] = dict(model.troubles)


async def _model(stack: AsyncExitStack, options: Options) -> ChatEndpoint | None:
    if options.model is None:
        return None
    from openenv.llm import ChatEndpoint, Patience

    key = settings.secret(options.api_key_env) if options.api_key_env else None
    patience = Patience(timeout_s=options.timeout)
    model = ChatEndpoint(
        options.model, options.model_name, api_key=key, patience=patience, sampling=options.sampling
    )
    await stack.enter_async_context(model)
    await model.check()
    return model


async def _evaluate(env: str, options: Options, report: Report, model: ChatEndpoint | None) -> None:
    from openenv.client import GenericEnvClient
    from openenv.evals import evaluate, plan
    from openenv.providers import ProcessProvider
    from openenv.rollouts import Episodes

    target = None if "://" in env else locate(env)
    episodes = Episodes(env if target is None else ProcessProvider(env), timeout_s=options.step_timeout)
    try:
        url = (await asyncio.to_thread(lambda: episodes.urls))[0]
        client = GenericEnvClient(base_url=url)
        schema, metadata, capacity = await client.schema(), await client.metadata(), await client.capacity()
        name = target.name if target is not None and target.folder is not None else metadata.name or env
        about = f"{metadata.name}: {metadata.description}" if metadata.description else ""
        player = _player(options, model, episodes, schema.action, about, target, url)
        tasks = plan(name, options.seeds, options.episodes, options.reset)
        concurrency = min(options.concurrency, capacity.max_sessions or options.concurrency)
        with _progress(name, len(tasks), report, model) as tell:
            await evaluate(player, tasks, concurrency, tell)
    finally:
        await asyncio.to_thread(episodes.close)


def _player(
    options: Options,
    model: ChatEndpoint | None,
    episodes: Episodes,
    schema: dict[str, Any],
    about: str,
    target: Target | None,
    url: str,
) -> Player:
    from openenv.evals import Conversation, RandomPolicy

    if model is not None:
        tools = {"auto": None, "on": True, "off": False}[options.tools]
        return Conversation(
            model,
            episodes,
            schema,
            about=about,
            max_turns=options.max_turns,
            tools=tools,
            prompt=options.prompt,
            overhear=_written(options.transcripts) if options.transcripts else None,
        )
    if options.policy == "random":
        return RandomPolicy(episodes, schema, max_turns=options.max_turns)
    return _named_policy(str(options.policy), target, url, options.step_timeout)


def _named_policy(name: str, target: Target | None, url: str, timeout_s: float) -> Player:
    """Return a policy of the environment's package, or one named as package.policies:name."""
    from openenv.client import EnvClient
    from openenv.evals import NamedPolicy

    module_name, colon, function = name.rpartition(":")
    if not colon:
        if target is None or target.folder is None:
            raise click.UsageError(
                f"Where is the policy {name!r}? Beside an address, say package.policies:{name}, or random."
            )
        module_name = f"{package_name(target.folder)}.policies"
    try:
        module = importlib.import_module(module_name)
        package = importlib.import_module(module_name.rpartition(".")[0] or module_name)
    except ImportError as error:
        raise NothingFound(f"There are no policies to import at {module_name}: {error}") from error
    policy = getattr(module, function, None)
    classes = [cls for cls in vars(package).values() if isinstance(cls, type) and issubclass(cls, EnvClient)]
    if not callable(policy):
        raise NothingFound(f"{module_name} has no policy {function!r}; it has {_policies(module) or 'none'}.")
    if not classes:
        raise NothingFound(f"{package.__name__} has no client, by which its policies act.")
    defaults = {key: value for key, value in getattr(module, "EXAMPLE", {}).items() if key != "seed"}
    return NamedPolicy(policy, classes[0], url, defaults, timeout_s=timeout_s)


def _policies(module: ModuleType) -> str:
    """Return the names of a module's own functions that take an environment."""
    found = (
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
        if next(iter(inspect.signature(value).parameters), "") == "env"
    )
    return ", ".join(sorted(found))


def _written(file: str) -> Callable[[EpisodeResult, list[dict[str, Any]]], None]:
    """Return what writes the messages of an episode behind those that are in a file."""

    def write(result: EpisodeResult, messages: list[dict[str, Any]]) -> None:
        names = ("environment", "seed", "sample", "reward", "status", "cause")
        told = {name: getattr(result, name) for name in names}
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(json.dumps({**told, "messages": messages}) + "\n")

    return write


@contextmanager
def _progress(name: str, total: int, report: Report, model: ChatEndpoint | None) -> Iterator[Any]:
    """Show how far it is on standard error; what is yielded is told of each result."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[doing]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(name, total=total, doing="")

        def doing() -> str:
            rewards = [one.reward for one in report.counted if one.environment == name and one.reward is not None]
            broken = sum(one.is_fault for one in report.episodes if one.environment == name)
            told = [f"reward {sum(rewards) / len(rewards):.3g}"] if rewards else []
            told += [f"broken {broken}"] if broken else []
            troubles = model.troubles.most_common(1) if model else []
            told += [f"{code.lower().replace('_', ' ')} {times}" for code, times in troubles]
            return " · ".join(told)

        def tell(result: EpisodeResult) -> None:
            report.episodes.append(result)
            progress.update(bar, advance=1, doing=doing())

        yield tell

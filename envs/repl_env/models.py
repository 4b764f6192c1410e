"""What goes to the environment of long contexts and what comes back."""

from pydantic import Field

from openenv.models import Action, Observation


class ReplAction(Action):
    """Run code over the context, or give the final answer; with both, the code runs first.

    Attributes:
        code: Python. The text is in the variable `context`; variables stay from step to step. `llm_query(prompt)`
            asks a sub-model, `llm_query_batched(prompts)` several things at once; `FINAL(value)` and
            `FINAL_VAR("name")` give the final answer.
        final_answer: The final answer; None if there is none yet.
    """

    code: str = Field(
        default="",
        description="Python. The text is in the variable `context`; variables stay. llm_query(prompt) asks a "
        'sub-model; FINAL(value) or FINAL_VAR("name") gives the final answer.',
    )
    final_answer: str | float | None = Field(default=None, description="The final answer, when you know it.")


class ReplObservation(Observation):
    """What the code did, as far as it is shown.

    Attributes:
        task_id: The task of the episode.
        question: What is to be answered.
        context_characters: How long the context is.
        stdout: What the code printed; of much of it the beginning and the end.
        stderr: What it wrote there, tracebacks among it; likewise.
        value: `repr` of the value of the last line, if that is an expression and not None; likewise.
        error: The name of the exception that ended the code.
        timed_out: Its time was up.
        context_lost: The interpreter has ended, and with it all variables; `context` is there again.
        characters_cut: How much of all this is missing.
        queries: What the code has asked the sub-model in this step: characters of the prompt and of the answer.
        queries_left: How many more there may be in the episode; 0 where there is no sub-model.
        steps_left: How many more steps the episode has.
        final_answer: The answer that was given, which has ended the episode.
    """

    task_id: str = Field(default="", description="The task of the episode.")
    question: str = Field(default="", description="What is to be answered.")
    context_characters: int = Field(default=0, description="How long the context is.")
    stdout: str = Field(default="", description="What the code printed; of much of it the beginning and the end.")
    stderr: str = Field(default="", description="What it wrote to standard error; likewise.")
    value: str | None = Field(default=None, description="repr of the value of the last line.")
    error: str | None = Field(default=None, description="The name of the exception that ended the code.")
    timed_out: bool = Field(default=False, description="Its time was up.")
    context_lost: bool = Field(default=False, description="All variables are lost but `context`.")
    characters_cut: int = Field(default=0, description="How much of the output is not shown.")
    queries: list[tuple[int, int]] = Field(
        default_factory=list, description="Characters of each prompt to the sub-model and of its answer."
    )
    queries_left: int = Field(default=0, description="How many more queries the episode may have.")
    steps_left: int = Field(default=0, description="How many more steps the episode has.")
    final_answer: str | int | float | None = Field(default=None, description="The answer that ended the episode.")

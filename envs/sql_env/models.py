"""What goes to the SQL environment and what comes back."""

from pydantic import BaseModel, Field

from openenv.models import Action, Observation, State

Cell = bool | int | float | str | None
"""A value of a table. What is no number, text, truth value or NULL comes as text: a date as `2026-01-31`, bytes as
`\\x00ff`, an integer of more than 64 bits by its digits, infinity as `Infinity`."""


class SqlAction(Action):
    """Run one SQL statement."""

    query: str = Field(description="One SQL statement, in the dialect of the database. It may be empty.")
    submit: bool = Field(
        default=False,
        description="Whether this ends the episode. Of a question, the rows of this statement are the answer; of "
        "a change, the tables are looked at after it.",
    )


class SqlError(BaseModel):
    """Why a statement failed."""

    type: str = Field(description="Its class, such as `IntegrityError` or `UndefinedTable`.")
    code: str = Field(default="", description="The database's own name: `SQLITE_CONSTRAINT_UNIQUE`, `42P01`.")
    message: str = Field(description="What the database says.")


class Column(BaseModel):
    """A column of a table."""

    name: str
    type: str = Field(description="As it was declared; empty if it was not.")
    nullable: bool = True
    primary_key: bool = Field(default=False, description="Whether it is the primary key, or a part of it.")


class Table(BaseModel):
    """A table or a view."""

    name: str
    kind: str = Field(default="table", description="`table` or `view`.")
    columns: list[Column] = Field(default_factory=list)
    foreign_keys: list[str] = Field(default_factory=list, description="Such as `customer_id -> customers.id`.")
    sample: list[list[Cell]] = Field(default_factory=list, description="A few rows of a table.")


class SqlObservation(Observation):
    """What a statement did."""

    task_id: str = Field(default="", description="The task of this episode.")
    instruction: str = Field(default="", description="What is to be done; after a reset.")
    dialect: str = Field(default="sqlite", description="`sqlite` or `postgres`.")
    columns: list[str] = Field(default_factory=list, description="Names of the columns of the result.")
    rows: list[list[Cell]] = Field(
        default_factory=list, description="The rows of the result, or the first of them."
    )
    rows_affected: int | None = Field(default=None, description="Rows that were inserted, updated or deleted.")
    error: SqlError | None = Field(default=None, description="Why the statement failed.")
    timed_out: bool = Field(default=False, description="Its time was up.")
    in_transaction: bool = Field(default=False, description="A transaction is open; it counts once committed.")
    tables: list[Table] | None = Field(
        default=None, description="The database's tables and views: after a reset, and when they have changed."
    )
    note: str = Field(default="", description="What was left out, or lost.")


class SqlState(State):
    """Where an episode stands."""

    task_id: str = ""
    dialect: str = "sqlite"

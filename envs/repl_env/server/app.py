"""The application that serves the environment of long contexts.

With `OPENENV_REPL_LLM_URL` (such as `http://127.0.0.1:8001/v1`) and `OPENENV_REPL_LLM_MODEL`, code may ask that
model; `OPENENV_REPL_LLM_KEY` is its key, where one is needed.
"""

import os
from functools import partial

from openenv.server import create_app

from .repl_environment import ReplEnvironment
from .sub_model import openai_compatible

url = os.environ.get("OPENENV_REPL_LLM_URL")
model = (
    openai_compatible(url, os.environ.get("OPENENV_REPL_LLM_MODEL", ""), os.environ.get("OPENENV_REPL_LLM_KEY", ""))
    if url
    else None
)
app = create_app(partial(ReplEnvironment, model) if model else ReplEnvironment, env_name="repl_env")

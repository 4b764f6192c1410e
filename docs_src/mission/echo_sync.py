from echo_env import CallToolAction, EchoEnv

with EchoEnv(base_url="BASE_URL").sync() as env:
    result = env.reset()
    result = env.step(CallToolAction(
        tool_name="echo_message",
        arguments={"message": "Sync also works!"},
    ))
    print(result.observation.result)

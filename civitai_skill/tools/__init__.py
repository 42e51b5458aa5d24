"""The tools, each defined once; every adapter only translates.

    with Toolbox(out="pictures", max_buzz=50) as box:
        result = box.call("civitai_generate_image", {"prompt": "a red fox"})
        print(result.text)

registry.py says what each tool is and does, arguments.py what a model may pass, reading.py what it
hears when that was wrong, fixed.py what it may not change, answers.py what it reads back;
toolbox.py runs them sync and async, callables.py makes plain functions of them, offer.py tells what
a call would buy.
"""

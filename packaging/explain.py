"""Prints a score beside the truth of a scripted call: explain.py MESSAGES TRUTH.json"""
import json
import sys

MEANING = {
    "call_duration_ms": "answer to end",
    "ring_ms": "INVITE to answer",
    "talk_time_agent_ms": "the agent talked (pauses under 500 ms count)",
    "talk_time_customer_ms": "the customer talked",
    "talk_speed_agent_wpm": "the agent's words a minute of talk",
    "talk_speed_customer_wpm": "the customer's",
    "longest_monologue_agent_ms": "the agent's longest stretch",
    "interruptions_agent_count": "the agent cut in",
    "interruptions_customer_count": "the customer cut in",
    "non_talk_time_total_ms": "nobody talked for over 3 s, hold left out",
    "quality_mos_agent": "quality of the agent's sound, 1 to 4.4",
    "quality_mos_customer": "quality of the customer's sound",
    "scored_fraction": "so much of the call was analysed",
}


def truth_of(field, call):
    agent, customer = call["agent"], call["customer"]
    return {
        "call_duration_ms": call["call_duration_ms"],
        "ring_ms": call["invite_to_answer_ms"],
        "talk_time_agent_ms": agent["talk_time_ms"],
        "talk_time_customer_ms": customer["talk_time_ms"],
        "talk_speed_agent_wpm": agent["talk_speed_wpm"],
        "talk_speed_customer_wpm": customer["talk_speed_wpm"],
        "longest_monologue_agent_ms": agent["longest_monologue_ms"],
        "interruptions_agent_count": agent["interruptions_count"],
        "interruptions_customer_count": customer["interruptions_count"],
        "non_talk_time_total_ms": call["non_talk_time_total_ms"],
    }.get(field)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        messages = [line.split(" ", 1) for line in file if "call/score " in line]
    with open(sys.argv[2], encoding="utf-8") as file:
        call = json.load(file)["calls"][0]
    score = json.loads(messages[0][1])
    print(f"   {'field':<30}{'scored':>9}{'± ':>8}{'truth':>9}   meaning")
    for field, meaning in MEANING.items():
        if field not in score:
            continue
        pm = score.get(field + "_pm", "")
        truth = truth_of(field, call)
        truth = "" if truth is None else round(truth)
        print(f"   {field:<30}{score[field]:>9}{pm:>7} {truth:>9}   {meaning}")
    for field in sorted(field for field in score if field.startswith("category_")):
        print(f"   {field:<30}{str(score[field]).lower():>9}{'':>17}   a list of the charter; its name stays there")
    confidences = {key[len("confidence_"):]: value for key, value in score.items() if key.startswith("confidence_")}
    print("   confidence: " + ", ".join(f"{group} {value}" for group, value in confidences.items()))
    print("   not known:  " + score.get("unavailable", "nothing"))


main()

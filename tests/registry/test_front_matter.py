"""What the Hugging Face hub reads of a model card, read back with its own library."""

from huggingface_hub import ModelCard, metadata_load, metadata_save
from huggingface_hub.repocard import model_index_to_eval_results

from components.registry.front_matter import front_matter

TAGS = {"variant": "mlp", "data": "d1", "test_data": "t1"}
SCORE = {"mean": 0.12345, "low": 0.0, "high": 1.0}


def read_back(data: dict, towers: dict, *metrics: str) -> dict:
    params = {"data": data, "towers": towers, "register": {"name": "captioner"}}
    systems = {"model": dict.fromkeys(metrics, SCORE)}
    matter = front_matter(TAGS, params, {"systems": systems})
    card = ModelCard(f"---\n{matter}\n---\n\n# A card")
    metadata_save("README.md", card.data.to_dict())
    return metadata_load("README.md")


def test_the_hub_finds_scores_data_and_towers_that_it_has(tmp_path, monkeypatch):
    """What is a folder here is no name there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pretrained" / "gpt2").mkdir(parents=True)
    data = {"source": "datasets", "annotations": "owner/flickr:all", "folder": "raw"}
    towers = {"clip": "openai/clip-vit-base-patch32", "gpt2": "pretrained/gpt2"}
    read = read_back(data, towers, "CIDEr", "BLEU-1", "BLEU-4", "entirely_right", "entirely_right_counts")
    assert read["base_model"] == ["openai/clip-vit-base-patch32"]
    assert read["datasets"] == ["owner/flickr"]
    assert read["metrics"] == ["cider", "bleu", "entirely_right"]
    assert (read["license"], read["license_link"]) == ("other", "LICENSE")
    name, results = model_index_to_eval_results(read["model-index"])
    assert name == "captioner (mlp)"
    found = [(result.metric_name, result.metric_value) for result in results]
    assert found == [(name, 0.1235) for name in ("CIDEr", "BLEU-1", "BLEU-4", "entirely right")]
    assert {(r.dataset_type, r.dataset_split) for r in results} == {("owner/flickr", "test")}


def test_towers_and_data_of_this_machine_are_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("raw/flickr", "clip", "gpt2"):
        (tmp_path / folder).mkdir(parents=True)
    towers = {"clip": "clip", "gpt2": "gpt2"}
    for data in ({"source": "scenes"}, {"source": "datasets", "annotations": "flickr", "folder": "raw"}):
        read = read_back(data, towers, "CIDEr")
        assert not {"base_model", "datasets"} & read.keys()
        assert read["model-index"][0]["results"][0]["dataset"]["type"] == data["source"]

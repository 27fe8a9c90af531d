"""When an ES run updates, and on what: by epochs as the published runs do, or by iterations."""

import pytest

from emflow.training.es.schedule import checkpoint_updates, draw_batch, epochs_per_update, updates


def by(method, **changes):
    return method.model_copy(update={"iterations": None, "checkpoints": None, "epochs": None, **changes})


def test_the_published_run_makes_280_updates_and_a_checkpoint_after_each_pass(method):
    published = by(method, batch_size=256)  # 10 epochs where nothing is said
    assert updates(published, 7049) == 280
    assert checkpoint_updates(published, 7049) == {f"epoch-{epoch}": 28 * epoch for epoch in range(1, 11)}
    assert epochs_per_update(published, 7049) * 28 == pytest.approx(1)


def test_an_epoch_sees_every_record_once_the_last_batch_is_smaller_and_epochs_differ(method):
    epochs = by(method, epochs=2, batch_size=4)
    batches = [draw_batch(epochs, 7, update, 10) for update in range(1, 7)]
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    first, second = ([position for batch in half for position in batch] for half in (batches[:3], batches[3:]))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert draw_batch(epochs, 7, 2, 10) == batches[1] != draw_batch(epochs, 8, 2, 10)


def test_a_batch_larger_than_the_data_is_all_of_it(method):
    for recipe in (by(method, epochs=1, batch_size=16), by(method, iterations=1, batch_size=16)):
        assert sorted(draw_batch(recipe, 0, 1, 5)) == [0, 1, 2, 3, 4]
        assert updates(recipe, 5) == 1


def test_a_batch_by_iterations_has_no_repetition_and_follows_from_seed_and_iteration(method):
    drawn = by(method, iterations=5, batch_size=16)
    batch = draw_batch(drawn, 0, 3, 100)
    assert len(set(batch)) == 16 and set(batch) <= set(range(100))
    assert batch == draw_batch(drawn, 0, 3, 100)
    assert batch != draw_batch(drawn, 0, 4, 100) and batch != draw_batch(drawn, 1, 3, 100)
    assert checkpoint_updates(by(method, iterations=5, checkpoints=(2, 5)), 100) == {"iteration-2": 2, "iteration-5": 5}

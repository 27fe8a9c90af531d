"""What an iteration is made of follows from run seed and iteration alone."""

from emflow.training.es.population import draw_batch


def test_a_batch_has_no_repetition_and_follows_from_seed_and_iteration():
    batch = draw_batch(0, 3, 16, 100)
    assert len(set(batch)) == 16 and set(batch) <= set(range(100))
    assert batch == draw_batch(0, 3, 16, 100)
    assert batch != draw_batch(0, 4, 16, 100) and batch != draw_batch(1, 3, 16, 100)


def test_a_batch_larger_than_the_data_is_all_of_it():
    assert sorted(draw_batch(0, 1, 16, 5)) == [0, 1, 2, 3, 4]

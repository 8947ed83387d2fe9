"""A shop: products by brands in categories, purchases that are reviewed, new products, discounts that end."""

from stream_app.scenarios.nature import DAY_MS, Nature

SHOP = Nature(
    name="shop",
    person="shopper",
    topics={
        "Shoes": ("running shoes", "boots", "sandals", "sneakers", "hiking shoes", "slippers"),
        "Kitchen": ("frying pan", "kettle", "knife set", "blender", "stock pot", "coffee grinder"),
        "Garden": ("watering can", "pruning shears", "raised bed", "lawn rake", "seed tray", "wheelbarrow"),
        "Audio": ("headphones", "speaker", "turntable", "microphone", "earbuds", "amplifier"),
        "Cycling": ("road bike", "bike helmet", "pannier bag", "bike pump", "saddle", "bike lights"),
        "Camping": ("tent", "sleeping bag", "camp stove", "head torch", "backpack", "hammock"),
        "Toys": ("wooden train", "puzzle", "building blocks", "doll house", "kite", "board game"),
        "Office": ("desk lamp", "office chair", "notebook", "monitor arm", "fountain pen", "filing box"),
        "Pets": ("dog lead", "cat tree", "aquarium", "bird feeder", "dog basket", "cat toy"),
        "Beauty": ("face cream", "shampoo", "hair dryer", "perfume", "soap bar", "nail set"),
    },
    patterns=("{creator} {thing}, {quality}", "{quality} {thing} by {creator}"),
    qualities=("light", "classic", "compact", "robust", "recycled", "folding", "large", "soft", "premium", "simple"),
    offer="20% off: {title}",
    users=900,
    creators=40,
    step_ms=DAY_MS,
    early_steps=30,
    late_steps=60,
    items_at_start=300,
    items_per_step=6.0,
    ending_share=0.2,
    life_ms=(3 * DAY_MS, 20 * DAY_MS),
    attention_half_life_ms=60.0 * DAY_MS,
    appeal_spread=0.4,
    sessions_per_step=0.17,
    rating_share=0.15,
    follow_share=0.03,
    unfollow_share=0.005,
    drift=0.03,
)

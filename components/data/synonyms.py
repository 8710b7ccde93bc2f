"""What else people call things: for the 80 categories of COCO and the drawings of the scenes.

For COCO a shorter list than that of Rohrbach et al. (2018, "Object Hallucination in Image Captioning"), whose
entries come from Lu et al. (2018, "Neural Baby Talk").
"""

from components.data.scenes.drawing import pluralize

_TABLE = """
person: people, man, woman, boy, girl, kid, child, baby, toddler, adult, guy, lady, gentleman, male, female,
  player, batter, pitcher, catcher, skier, snowboarder, surfer, skater, skateboarder, rider, biker, cyclist,
  bicyclist, motorcyclist, chef, cook, worker, officer, policeman, cop, soldier, passenger, student, teenager,
  bride, groom, mother, father, driver, pedestrian
bicycle: bike
car: automobile, sedan, suv, minivan, van, hatchback, jeep, taxi, cab, taxicab, limo, limousine
motorcycle: motorbike, scooter, moped, motor bike, motor cycle
airplane: plane, aeroplane, jet, jetliner, airliner, aircraft, biplane, air plane
bus: minibus, trolley bus, school bus
train: locomotive, passenger train, tramway, subway train
truck: pickup, lorry, pickup truck, fire truck, firetruck, semi truck
boat: ship, sailboat, canoe, kayak, rowboat, ferry, yacht, motorboat
traffic light: stoplight, stop light, traffic signal, street light, streetlight
fire hydrant: hydrant
stop sign:
parking meter:
bench: pew
bird: duck, goose, seagull, gull, pigeon, owl, ostrich, parrot, swan, eagle, sparrow
cat: kitten, kitty
dog: puppy, pup
horse: colt, pony, racehorse, stallion, mare, foal
sheep: lamb, ram, goat, ewe
cow: cattle, calf, bull, ox
elephant:
bear: panda, polar bear
zebra:
giraffe:
backpack: knapsack, rucksack
umbrella: parasol
handbag: purse, wallet, hand bag
tie: bow tie, bowtie, necktie
suitcase: luggage, suit case
frisbee: disc
skis: ski
snowboard:
sports ball: ball, baseball, soccer ball, tennis ball, basketball, football, volleyball
kite:
baseball bat: bat
baseball glove: glove, mitt, catcher's mitt
skateboard: longboard
surfboard: surf board
tennis racket: racket, racquet, tennis racquet
bottle: water bottle, beer bottle, wine bottle
wine glass: wineglass
cup: mug, teacup, coffee cup
fork:
knife: pocketknife, butter knife
spoon: teaspoon
bowl: container
banana:
apple:
sandwich: burger, hamburger, cheeseburger, sub
orange:
broccoli:
carrot:
hot dog: hotdog
pizza:
donut: doughnut, bagel
cake: cupcake, cheesecake, birthday cake
chair: seat, stool, armchair
couch: sofa, recliner, loveseat
potted plant: houseplant, house plant, plant
bed: bunk bed
dining table: table, desk, kitchen table
toilet: commode, urinal
tv: television, monitor, television set, tv screen
laptop: notebook computer, laptop computer, computer
mouse: computer mouse
remote: remote control, controller, wii remote
keyboard:
cell phone: cellphone, phone, mobile phone, smartphone, telephone, iphone
microwave: microwave oven
oven: stove, stove top oven
toaster:
sink: basin
refrigerator: fridge, freezer
book:
clock: wall clock, clock tower
vase:
scissors:
teddy bear: teddy, stuffed animal, stuffed bear
hair drier: hair dryer, hairdryer, blow dryer
toothbrush: tooth brush

pig: piglet, hog
lion:
panda: panda bear
fox:
frog: toad
turtle: tortoise
octopus: squid
fish: tropical fish, goldfish
butterfly: moth
flamingo:
mushroom: toadstool
doughnut: donut
tractor:
helicopter: chopper
rocket: spaceship, space ship
sailboat: boat, sailing boat, ship
palm tree: palm, tree
maple leaf: leaf
rose:
house: home, cottage
bell:
gift: present, wrapped gift, parcel
balloon:
guitar: electric guitar
soccer ball: ball, football, soccer
heart:
robot:
"""

IDIOMS = ("train track", "home plate", "toilet seat", "hot dog", "teddy bear", "toilet paper")
"""They hold the name of an object and are none, or another one."""

_IRREGULAR = {
    "calf": "calves",
    "child": "children",
    "fish": "fish",
    "goldfish": "goldfish",
    "goose": "geese",
    "knife": "knives",
    "leaf": "leaves",
    "ox": "oxen",
    "person": "people",
    "pocketknife": "pocketknives",
    "sheep": "sheep",
}


def _read(table: str) -> dict[str, tuple[str, ...]]:
    lines = (line.partition(":") for line in table.replace(",\n  ", ", ").strip().splitlines() if line)
    return {name: tuple(other.strip() for other in others.split(",") if other) for name, _, others in lines}


SYNONYMS = _read(_TABLE)
"""Name -> what else it is called."""


def with_synonyms(name: str) -> list[str]:
    """`name` and its synonyms."""
    return [name, *SYNONYMS.get(name, ())]


def forms(name: str) -> tuple[str, str]:
    """Singular and plural of a noun or of a compound that ends in one."""
    first, _, last = name.rpartition(" ")
    if last in _IRREGULAR:
        plural = _IRREGULAR[last]
    else:
        plural = f"{last[:-2]}en" if last.endswith("man") else pluralize(last)
    return name, f"{first} {plural}".strip()

"""The twelve themes that films, books and music share: the words in which a taste shows itself.

A theme speaks with the same natural words in all three domains, so that a reader (or a language model) who
knows what somebody watched can tell what they would read. All names and places are invented.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """The vocabulary of one theme.

    Title words (adjectives, nouns, places) are capitalised; people, deeds and settings make the clause
    "{person} who {deed} {setting}".
    """

    name: str
    adjectives: tuple[str, ...]
    nouns: tuple[str, ...]
    places: tuple[str, ...]
    people: tuple[str, ...]
    deeds: tuple[str, ...]
    settings: tuple[str, ...]


def _theme(
    name: str, adjectives: str, nouns: str, places: str, people: str, deeds: str, settings: str
) -> Theme:
    rows = (tuple(word.strip() for word in row.split("|")) for row in (adjectives, nouns, places))
    clauses = (tuple(word.strip() for word in row.split("|")) for row in (people, deeds, settings))
    return Theme(name, *rows, *clauses)


THEMES: tuple[Theme, ...] = (
    _theme(
        "noir",
        "Midnight|Crooked|Rain-Soaked|Smoky|Guilty|Silent",
        "Alibi|Detective|Witness|Informant|Streetlamp|Confession|Fingerprint|Ashtray|Case File|Trench Coat",
        "Harrow Street|Pier Nineteen|Calloway Alley|Dunmore Heights|the Velour Hotel|Tenth and Mercer",
        "a tired private detective|a crime reporter|a homicide inspector|a blackmailed witness|"
        "a crooked lawyer",
        "follows one last lead|hunts a patient killer|reopens a cold murder case|trusts the wrong informant|"
        "tails a suspect through the night",
        "in the rain-soaked back alleys|under the neon of a corrupt city|"
        "between smoky bars and police stations|"
        "in a city where every alibi is for sale|along wet streets after midnight",
    ),
    _theme(
        "sea",
        "Salt-Worn|Drifting|Stormbound|Tidal|Weathered|Outward",
        "Lantern|Harbour|Schooner|Lighthouse|Anchor|Tide|Captain|Compass|Mainsail|Whaler",
        "Harrow Quay|Gull Rock|Saltmarsh Point|Port Ellery|the Farther Shoals|Cape Merrow",
        "a stubborn lighthouse keeper|a young ship's navigator|a shipwrecked captain|a fisherman's daughter|"
        "an old whaling crew",
        "sails out to find a missing schooner|survives a storm at sea|charts an unknown coast|"
        "waits for a ship that never returns|fights a mutiny below deck",
        "on the open ocean|in a harbour battered by winter gales|among reefs, gulls and salt spray|"
        "across an ocean without wind|on the last tide before the storm",
    ),
    _theme(
        "space",
        "Orbital|Stellar|Weightless|Lunar|Interstellar|Distant",
        "Comet|Starship|Airlock|Satellite|Colony|Nebula|Gravity|Astronaut|Telescope|Signal",
        "Kepler Station|the Ninth Moon|Outpost Vesper|Ganymede Deep|the Oort Gate|Tycho Landing",
        "a lone astronaut|the crew of a colony ship|a stranded mission engineer|a radio astronomer|"
        "the last pilot of a starship",
        "answers a signal from deep space|repairs a failing airlock|steers for a distant planet|"
        "keeps a silent space station alive|maps a nebula no probe has seen",
        "in orbit around a dying star|far beyond the rings of Saturn|on a moon with no atmosphere|"
        "between galaxies, light years from Earth|aboard a drifting space station",
    ),
    _theme(
        "haunted",
        "Haunted|Pale|Whispering|Hollow|Restless|Cobwebbed",
        "Manor|Ghost|Attic|Séance|Crypt|Apparition|Mirror|Graveyard|Nursery|Phantom",
        "Blackthorn Hall|Ravenmoor|the East Wing|Gallows Hill|St Osric's Churchyard|Wraith House",
        "a sceptical medium|a governess with a secret|the heir to a haunted manor|a grieving widow|"
        "a family new to the old house",
        "hears footsteps in the attic|holds a séance for the dead|is followed by a pale apparition|"
        "opens a sealed crypt|wakes the ghost of a drowned child",
        "in a decaying gothic mansion|behind the locked nursery door|in a house where the mirrors whisper|"
        "among gravestones and cold candlelight|in corridors that nobody has walked for a century",
    ),
    _theme(
        "western",
        "Dusty|Lawless|Sunburnt|Rawhide|Lonesome|Wild",
        "Canyon|Outlaw|Saddle|Sheriff|Stagecoach|Mustang|Revolver|Tumbleweed|Cattle Drive|Bounty",
        "Red Mesa|Dry Fork|Copper Gulch|Coyote Wells|the Santa Rosalia Trail|Broken Spur",
        "a retired gunslinger|a frontier sheriff|a cattle rustler|a bounty hunter on a tired mustang|"
        "a rancher's widow",
        "rides out against an outlaw gang|drives cattle across the prairie|draws a revolver one last time|"
        "guards a stagecoach full of gold|settles a feud over a dry ranch",
        "under a merciless desert sun|in a saloon town on the frontier|across canyons and sagebrush|"
        "where the railroad has not come yet|on the long trail west",
    ),
    _theme(
        "mountain",
        "Frozen|Alpine|Snowblind|Windswept|Highland|Untrodden",
        "Summit|Glacier|Avalanche|Ridge|Basecamp|Crevasse|Snowfield|Ropeway|Cairn|North Face",
        "Mount Aldren|the Karsk Pass|Eagle's Shoulder|Tollen Peak|the White Couloir|Upper Verrin",
        "a veteran mountain guide|the younger of two rival climbers|a rescue party on skis|"
        "a glacier researcher|"
        "a solo alpinist without oxygen",
        "attempts the first winter ascent|survives an avalanche|crosses a crevasse field by rope|"
        "searches for lost climbers|turns back below the summit",
        "on an icy north face|above the last tree in thin air|through blizzards and frozen bivouacs|"
        "along a knife-edge ridge of snow|high in the wilderness above the glacier",
    ),
    _theme(
        "court",
        "Gilded|Royal|Velvet|Regal|Treacherous|Crimson",
        "Throne|Crown|Duchess|Regent|Courtier|Coronation|Heir|Masquerade|Sceptre|Betrothal",
        "Castle Aurenne|the Winter Palace of Brandeval|Vermeil Court|the House of Lys|Montclair|Kingsreach",
        "a young queen|a scheming duchess|the king's illegitimate heir|a loyal lady-in-waiting|"
        "an ambitious cardinal",
        "claims a contested throne|plots at a royal masquerade|refuses an arranged betrothal|"
        "poisons a rival courtier|hides the true will of the king",
        "behind the velvet curtains of the palace|at a court of whispers and gilded mirrors|"
        "in the months before the coronation|while nobles choose sides|"
        "in a kingdom on the edge of succession",
    ),
    _theme(
        "wartime",
        "Occupied|Hidden|Fearless|Wartime|Sleepless|Underground",
        "Cipher|Courier|Checkpoint|Resistance|Parachute|Armistice|Trench|Telegram|Bunker|Night Train",
        "Bridge Forty|Sector Nine|the Ardenne Line|Rue des Tilleuls|Camp Orlow|Station Verdier",
        "a resistance courier|a codebreaker|a wounded army medic|a soldier lost between two trenches|"
        "a double agent",
        "smuggles refugees past the checkpoint|breaks an enemy cipher|sabotages a railway bridge|"
        "carries a telegram through the front line|parachutes behind enemy lines",
        "in an occupied city under curfew|during the last winter of the war|between bombed-out streets|"
        "while air-raid sirens sound|in trenches of mud and barbed wire",
    ),
    _theme(
        "folktale",
        "Enchanted|Silver|Spellbound|Briar|Moonlit|Ancient",
        "Witch|Thornwood|Dragon|Changeling|Spell|Fox Spirit|Wishing Well|Woodcutter|Giant|Enchantress",
        "the Hollow Wood|Fernhollow|the Kingdom under the Hill|Owlmere|the Glass Forest|Bramblegate",
        "a woodcutter's youngest daughter|a kindly witch|a prince turned into a fox|a sleepless dragon|"
        "a changeling raised by giants",
        "breaks an ancient spell|bargains with a forest spirit|steals three feathers from an enchanter|"
        "follows a talking fox|wakes a sleeping dragon",
        "in an enchanted forest|beyond the wishing well|in a kingdom of magic and thorns|"
        "where fairies still dance at moonrise|on the far side of the glass mountain",
    ),
    _theme(
        "jazz_age",
        "Swinging|Champagne|Late-Night|Blue|Glittering|Syncopated",
        "Ballroom|Saxophone|Cabaret|Speakeasy|Trumpet|Chorus Girl|Dance Floor|Big Band|Cocktail|Encore",
        "the Blue Parrot Club|Lenox Terrace|the Alhambra Ballroom|Café Mirador|South Rampart|"
        "the Starlite Room",
        "a gifted trumpet player|a cabaret singer|a jazz pianist down on his luck|"
        "a chorus girl with big dreams|"
        "the owner of a speakeasy",
        "plays one more encore|falls in love on the dance floor|forms a swing band|"
        "bets everything on a jazz club|sings the blues until dawn",
        "in a smoky speakeasy of the roaring twenties|beneath ballroom chandeliers|"
        "to the sound of saxophones and champagne corks|in dance halls along the avenue|"
        "on a bandstand at three in the morning",
    ),
    _theme(
        "village_kitchen",
        "Honeyed|Homemade|Golden|Rustic|Buttered|Summer",
        "Bakery|Orchard|Recipe|Sourdough|Tea Room|Pantry|Harvest Supper|Marmalade|Market Day|Copper Pan",
        "Applecross Lane|Little Wexcombe|Villa Rosmarino|Butter Hill|Saint-Amand|Plum Tree Corner",
        "a village baker|a retired pastry chef|the heiress of an old tea room|a homesick cook|"
        "a grandmother with a secret recipe",
        "saves the family bakery|cooks for a whole village|opens a little restaurant|"
        "learns to bake sourdough|shares a recipe kept for generations",
        "among orchards and warm kitchens|in a village that smells of fresh bread|"
        "around one long supper table|between market stalls and copper pans|"
        "over a summer of ripe plums and honey",
    ),
    _theme(
        "heist",
        "Perfect|Counterfeit|Double-Crossed|Slippery|Million-Dollar|Borrowed",
        "Vault|Forger|Casino|Getaway|Diamond|Safecracker|Con Artist|Decoy|Jackpot|Blueprint",
        "the Montrose Bank|the Grand Meridian Casino|Vault Thirteen|Monte Alba|Gallery Nine|Lucky Strand",
        "a charming con artist|a retired safecracker|a crew of thieves|an art forger|a getaway driver",
        "robs an uncrackable vault|swaps a priceless diamond for a fake|swindles a casino boss|"
        "plans one final heist|double-crosses an old partner",
        "in the ninety seconds between two alarms|under the cameras of a casino|"
        "with forged blueprints and a stolen van|while the security guards change shifts|"
        "on the night of a gala auction",
    ),
)
